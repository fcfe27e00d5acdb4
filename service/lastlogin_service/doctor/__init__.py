"""What the doctors of both sides have in common: their report, servers seen from here, and Kafka's topics.

report    lines for people and machines            servers   names, ports and certificates
topics    Kafka's topics, replicas and our rights  rights    how the rights are asked for
replicas  where a topic's copies are (pure)        kernel    whether this host's clock is kept right
"""

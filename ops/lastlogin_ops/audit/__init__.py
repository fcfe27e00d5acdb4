"""`lastlogin audit`: what is on the topics against what is in the table.

sequences   which numbers of a producer are missing (pure)    events    what a record says (pure)
verdicts    a row against its events (pure)                   report    what was found, for people and programs (pure)
topics      the topics and the group, as they are             rows      every row of the table
facts       all of it, on disk                                checking  one audit, from the offsets to the report
metrics     what was found, for Prometheus (pure)             metrics_file  ... and the file it is in
command     the command's line
"""

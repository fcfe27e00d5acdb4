"""How fast the services are, against limits and peers that run beside them."""

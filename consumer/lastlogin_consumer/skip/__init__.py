"""Passing a range of a partition that cannot be read, knowing what is given up."""

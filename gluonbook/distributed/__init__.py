"""One training by several processes, on one machine or more, through MXNet's parameter server."""

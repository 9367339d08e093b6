"""What any training run needs, whatever it trains: nothing in this room knows about hands."""

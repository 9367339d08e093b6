"""What a hand is: its skeleton, how a camera sees it, how a prediction of it is measured."""

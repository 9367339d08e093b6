"""What the converters of labels share: from anyone's labels of photos to `boxes.json`."""

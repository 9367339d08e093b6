"""Anyone's photos or video frames, with or without boxes, as a data set to pre-train on, or to fine-tune on where they are labelled."""

"""3D hands in anyone's photos.

    python main.py --config=configs/predict.py --config.checkpoint=runs/finetune \
        --config.images='photos/*.jpg' --workdir=runs/photos

Writes `predictions.json` (2D keypoints in the photos' pixels, 3D in metres), `overlays/` and
`index.html`, a page with 3D hands to turn that needs no server and no network.

The network estimates the pose of a hand that it is shown; it does not search for hands. Without
boxes it looks at the middle of the photo, and then again around what it saw there: right for photos
of one hand. Otherwise give boxes, by hand or from a detector: `--config.boxes=boxes.json`, its
format in peclr_jax/photos/boxes.py.

Exit codes: 0; 4 if some images could not be read (they are listed, all others are done); 2 if none.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The configuration of a prediction."""
    config = ConfigDict()
    config.task = "predict"
    config.recipe = "photos"  # only a name

    config.checkpoint = ""  # a fine-tuning run's directory, or that of one of its steps
    config.init = ConfigDict()
    # Instead of it, an official fine-tuned release or what configs/export.py wrote in its layout.
    config.init.torch_checkpoint = ""
    config.images = ""  # a file, a folder, or a glob in quotes; JPEG, PNG, WebP
    config.boxes = ""  # JSON of where the hands are, and of which side; "": in the middle

    # The networks know right hands (as the paper's: left ones are mirrored). "left": all hands that
    # the boxes file does not call right are left ones; crop and answer are mirrored.
    config.handedness = "right"
    # Where no box is given: side of the one supposed in the middle, over the photo's shorter side.
    # 0.67, at the usual hand_margin of 1.5, shows the network the whole of a square photo.
    config.central_box = 0.67
    # How often to look: the second time around the first look's keypoints, as the released
    # networks do. 1 trusts boxes as they are.
    config.passes = 2

    # What a photo does not tell. The first that is known of: "focal_px" in the boxes file;
    # focal_px here; the camera's own note (EXIF, focal length in 35 mm film); field_of_view_deg
    # along the longer side, 40 as with a 50 mm lens. A guess too wide distorts hands, one too
    # narrow only moves them away: photos from the net are often cut-outs, hence not the 65 to 70
    # of a phone. The optical axis is taken to pass through the photo's centre.
    config.focal_px = 0.0  # pixels of the photo; 0: unknown
    config.field_of_view_deg = 40.0
    # Length of the middle finger's proximal bone in metres, from the knuckle to the next joint;
    # 0: the mean over the training hands. All 3D coordinates are proportional to it.
    config.bone_length_m = 0.0

    config.batch_size = 16  # hands the network sees at once
    config.decode_threads = 2
    config.overlay_side = 1280  # px, of the longer side at most
    config.thumbnail_side = 480  # px, of the images on the page; each at most 40 kB
    return config

"""The main job from end to end, as a study."""

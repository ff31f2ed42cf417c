"""What barfill's main job costs, measured in one run: `python -m bench`, in short `python -m bench --smoke`."""

"""What Farthing is measured against, and with: `python -m bench --list` names the rows."""

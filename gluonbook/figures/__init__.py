"""What a training prints and keeps: counted, judged, drawn."""

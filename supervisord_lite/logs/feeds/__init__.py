"""Those who are shown lines as they come: taps and forwards."""

"""What comes from elsewhere and goes elsewhere: weights in other layouts, models in other formats."""

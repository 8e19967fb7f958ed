"""Schedules over time: which steps are computed when, again or not, and where what they leave behind is kept."""

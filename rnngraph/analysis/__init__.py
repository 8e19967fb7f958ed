"""Analysis: what runs cost, predicted and measured; whether the modes agree."""

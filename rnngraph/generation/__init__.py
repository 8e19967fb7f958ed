"""Generation: text from a trained model by sampling or beam search; results step by step."""

"""Loading models safely, generating and classifying; base beside tuned. Knows no store, no page and no trainer."""

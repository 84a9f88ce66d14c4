"""What a reader sees: tables, figures, the patient's page."""

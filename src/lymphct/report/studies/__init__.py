"""What a study of many patients puts on paper: tables, figures, checklists, in forms that papers take."""

"""Methods of domain adaptation side by side: what each gives, costs and forgets."""

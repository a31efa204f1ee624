"""How well the gain of adaptation is predicted, on networks, data sets and shifts that no prediction has seen."""

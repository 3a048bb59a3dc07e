"""Pure decisions: who is trusted, who may write to whom. Facts in, a Decision with its Reason out."""

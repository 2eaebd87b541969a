"""What both sides say: messages, types, targets, signing, states, errors and limits. No I/O."""

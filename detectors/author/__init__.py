"""For authors of rules: packs that check themselves, costs and quality measured, other tools' files converted."""

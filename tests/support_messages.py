"""Messages to a shop: forms of a sentence for each label, to be filled with a thing."""

FORMS = {
    "refund": (
        "I want my money back for the {}.",
        "When do I get the money for the {} that I sent back?",
        "You charged me twice for the {}.",
        "Please refund the {}, it was too expensive.",
    ),
    "delivery": (
        "My {} has not arrived yet.",
        "Where is the parcel with my {}?",
        "The courier lost the {} on the way.",
        "When will the {} be delivered?",
    ),
    "broken": (
        "The {} broke on the second day.",
        "My {} does not turn on.",
        "There is a crack in the {}.",
        "The {} stopped working after a week.",
    ),
}

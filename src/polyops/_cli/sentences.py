"""What `polyops demo` embeds and searches."""

SENTENCES = [
    # kitchen
    "Knead the dough until it no longer sticks to your hands.",
    "A pinch of salt brings out the sweetness of ripe tomatoes.",
    "Let the soup simmer for an hour before you add the beans.",
    "The bakery on the corner sells out of rye bread by nine.",
    "Sharp knives are safer than blunt ones.",
    "She learned to make dumplings from her grandmother.",
    "Roast the almonds slowly, or they turn bitter.",
    "Our neighbour brings us a jar of plum jam every autumn.",
    # sky
    "Jupiter is bright enough to cast a faint shadow.",
    "The comet will not return for another seventy years.",
    "A lunar eclipse turns the Moon the colour of copper.",
    "Light from that galaxy left before there were people.",
    "The telescope was carried up the mountain in forty crates.",
    "Meteors burn up long before they reach the ground.",
    "On a clear night you can follow the space station with the naked eye.",
    "Saturn's rings are mostly ice.",
    # travel
    "The night train to Lisbon leaves from platform four.",
    "We missed the ferry and slept on the beach.",
    "Her suitcase went to Oslo while she flew to Rome.",
    "The old road over the pass is closed until May.",
    "Ask for a window seat if you want to see the fjord.",
    "They cycled along the canal from one lock to the next.",
    "The border guard stamped every page but the right one.",
    "A map of the underground is printed on the ticket.",
    # animals
    "The heron stood in the shallows and did not move.",
    "Bees find their way home by the position of the sun.",
    "A fox has been sleeping under the garden shed.",
    "Crows remember the faces of people who were unkind to them.",
    "The dog waits at the gate at four every afternoon.",
    "Octopuses taste with the skin of their arms.",
    "Swallows gather on the wires before they fly south.",
    "The kitten is afraid of nothing but the hoover.",
    # computers
    "The server ran out of memory at three in the morning.",
    "Nobody dares to touch the code that prints the invoices.",
    "The backup had never been tested, and it was empty.",
    "A comma in the wrong place stopped the whole build.",
    "She rewrote the loop, and the program became ten times faster.",
    "The new keyboard is loud, but it never misses a key.",
    "An update restarted every machine in the office at once.",
    "He keeps his passwords on a note under the mouse.",
]

QUERIES = [
    "How do I bake bread?",
    "planets and stars",
    "losing your luggage on a trip",
    "birds that migrate",
    "software crashed at work",
]

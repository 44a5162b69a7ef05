"""Texts to try models of language with, written for this: of several kinds, so that many tokens are seen."""

TEXTS = (
    "The ferry left the harbour an hour late because of the fog, and nobody on board seemed to mind.",
    "Copper is a better conductor than iron, which is why most household wiring is made of it.",
    "She opened the letter, read it twice, folded it again and put it back into the drawer.",
    "To make the dough, mix 500 g of flour with 320 ml of warm water, a pinch of salt and some yeast.",
    "What time does the last train to the airport leave on Sundays, and where do I buy a ticket?",
    "The committee rejected the proposal by eleven votes to four after a debate of nearly three hours.",
    "def area(radius): return 3.14159 * radius ** 2  # in square metres",
    "Penguins cannot fly, but they swim faster than most people can run.",
    "I am sorry to hear that your parcel has not arrived; we will send you another one today.",
    "In 1969 two people walked on the Moon while a third one circled above them alone.",
    "Interest rates rose by a quarter of a percentage point, as most economists had expected.",
    "The old clock in the hall stopped at ten past four, and it has not moved since.",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
    "If the red lamp blinks three times, switch the machine off and call the service desk.",
    "He played the violin so softly that the people in the last row leaned forward to hear it.",
    "Our hotel was close to the beach, the rooms were clean, but breakfast was a disappointment.",
    "A triangle with sides of 3, 4 and 5 units has a right angle.",
    "The defendant's lawyer argued that the contract had never been signed.",
    "Snow fell all night, and in the morning the village was silent and white.",
    "Dear Ms. Alvarez, thank you for your application; we would like to invite you to an interview.",
    "The recipe calls for two onions, a clove of garlic, and as much chili as you dare.",
    "Vaccines train the immune system to recognise a virus before it causes disease.",
    "SELECT name, price FROM products WHERE price < 20 ORDER BY name;",
    "The midfielder scored in the final minute, and the stadium erupted.",
    "Every prime number greater than two is odd, though not every odd number is prime.",
    "My grandmother kept bees behind the house and sold the honey at the market on Fridays.",
    "The river had risen overnight and the bridge was closed to all traffic.",
    "Once upon a time there was a fox who wanted to learn how to read.",
    "Turn left at the second light, go past the library, and you will see the museum on your right.",
    "The new phone has a larger battery, a brighter screen and, surprisingly, a lower price.",
    "Water boils at 100 degrees Celsius at sea level and at a lower temperature on a mountain.",
    "They painted the kitchen yellow, argued about the curtains and finally agreed on blue.",
    "The experiment was repeated five times, and the mean of the results is shown in Table 2.",
    "Nobody knows who built the tower, but legends say that it was finished in a single night.",
    "Please remember to save your work before you close the window.",
    "The orchestra tuned, the lights went down, and a child somewhere began to cry.",
    "Migrating birds find their way by the sun, the stars and the magnetic field of the Earth.",
    "Unemployment fell for the third month in a row, while prices of food went on rising.",
    "He asked me whether I had ever been to Lisbon, and I said that I was born there.",
    "A good bicycle lasts for decades if its chain is kept clean and oiled.",
    "The poem has fourteen lines and ends with a question that is never answered.",
    "Doctors recommend seven to nine hours of sleep a night for adults.",
    "The server returned an error because the request's header was larger than 8 KB.",
    "Two ships collided in the strait early on Tuesday; nobody was hurt.",
    "Glass is made by melting sand together with soda and lime.",
    "What the caterpillar calls the end of the world, the rest of us call a butterfly.",
    "You can cancel your subscription at any time, and we will refund what you have not used.",
    "The capital of Australia is Canberra, not Sydney, as many visitors believe.",
)


def passage(index: int) -> str:
    """Return one to four texts in a row.

    Passages follow each other through the corpus. So a method learns from some texts, and its loss is measured with
    mostly others. The first 96 passages all differ.

    Args:
        index: Number of the passage.
    """
    rounds, rest = divmod(index, 4)  # four passages take ten texts: one, two, three and four
    start = rounds * 10 + rest * (rest + 1) // 2
    return " ".join(TEXTS[(start + step) % len(TEXTS)] for step in range(rest + 1))

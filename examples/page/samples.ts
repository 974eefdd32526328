/**
 * Texts to start with, written for this page: a story for language models, a list for the built-in model, which recalls what followed
 * the same four letters before and can do nothing else.
 * @module
 */

/** A text with a question that it answers. */
export interface Sample {
  readonly document: string;
  readonly question: string;
}

export const story: Sample = {
  document:
    `The ferry to Little Skerry leaves twice a week, and in winter it often does not leave at all. Nobody on the island minds much. \
There are forty-one people, one shop, one school with six children, and a lighthouse that has not needed a keeper since the lamp was \
automated. Agnes Rowan kept it all the same. She had come as a girl of nineteen to help her uncle with the oil and the brass, and when \
the engineers arrived with their cables and their timer she thanked them, signed the paper, and went on climbing the stairs every evening.

Her reasons were her own. She liked the hundred and twelve steps, and the window on the landing from which one could see the seals. She \
liked to write down the weather. The weather books filled a whole shelf in the kitchen: a line for every day, wind and cloud and the \
height of the swell, in the same small hand for fifty-three years. Schoolchildren came to look up the day they were born.

In the spring of her last year as a keeper who was no longer a keeper, a boat came in that nobody had expected. It was a small blue yawl, \
and the man at the tiller was asleep. He had sailed from the mainland to bring the island its mail during the strike, had lost the wind, \
and had then lost two nights of rest as well. Agnes made him porridge. He told her that his name was Tomas Vey, that he mended clocks \
for a living, and that he had promised the postmaster to be back by Friday.

The harbour master, who was also the shopkeeper, unpacked the bags on his counter. There were nineteen letters, a box of seed potatoes, \
a parcel of schoolbooks, and a brass barometer with a cracked glass, addressed to nobody. Tomas asked whether he might look at it. He \
opened the back with a butter knife, blew out a great deal of dust, and found under the dial a folded note, which said only that the \
instrument had belonged to the captain of the Heron and should go to whoever still wrote down the weather.

So the barometer went up the hundred and twelve steps. Agnes hung it beside the window on the landing, and because it came from a ship \
she tapped it twice every evening for luck. Her old dog, a grey collie called Biscuit, learned to bark at the second tap.

Tomas was not back by Friday. He stayed a week to mend the school clock, then a month to mend the timer of the lamp, which had been four \
minutes slow since the engineers left. When at last he sailed he took the weather books with him, all fifty-three, in a crate lined with \
oilcloth, to have them copied at the observatory. The astronomers wrote back in the autumn. They had found in them the longest unbroken \
record of the northern winds that anyone had kept by hand, and they asked, politely, whether the keeper would consider going on.

Agnes pinned the letter to the kitchen wall. Then she took a new book from the drawer, wrote the date at the top of the first page, and \
climbed the stairs to see what the wind was doing.`,
  question: "What is the name of the dog?",
};

const names = "Ansel Birte Carlo Dagny Edgar Freya Gunter Hedda Ivo Jonna Knut Liesl Marek Nadia Otto Petra Quinn Rasmus Sunniva Tarik " +
  "Ulla Viktor Wilma Xenos Yusuf Zoltan";

/** Hooks of the boathouse: a number of four digits per name. */
export const register: Sample = {
  document: names.split(" ").map((name, i) => `${name}=${1000 + (i * 2357 + 913) % 9000}`).join("\n"),
  question: "Marek=",
};

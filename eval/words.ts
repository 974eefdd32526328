/**
 * Words for needles, repeated strings and synthetic prose. Common, concrete, and short: most are one token for any vocabulary.
 * @module
 */
const list = (words: string): ReadonlyArray<string> => words.split(" ");

/** What needles are about: a colour or trait and a thing. */
export const ADJECTIVES: ReadonlyArray<string> = list(
  "amber ancient bitter brave bright calm clever cold copper crimson dusty eager faint gentle golden green hidden hollow humble iron ivory " +
    "little lonely lucky mellow modest noble olive pale patient polite proud purple quiet rapid rusty scarlet shy silent silver simple sleepy " +
    "smooth solemn steady stormy sunny swift tame tidy tiny vivid wandering warm weary wild wise wooden young",
);
/** Things. */
export const NOUNS: ReadonlyArray<string> = list(
  "anchor apple arrow badge barrel basket beacon bell blanket boat bottle bridge bucket button candle canyon carpet castle cellar chair cherry " +
    "circle clock compass cottage cradle curtain dragon drum eagle engine feather ferry flute forest fountain garden gate glove hammer harbor " +
    "island jacket kettle kite ladder lantern lemon letter lion magnet marble meadow mirror mountain needle orchard oven parrot pencil piano " +
    "pillow planet pocket quilt rabbit ribbon river saddle sailor school shovel singer spoon stable statue table temple tower tunnel valley " +
    "violin wagon whistle window winter wizard yard",
);
/** What happens in synthetic prose. */
export const VERBS: ReadonlyArray<string> = list(
  "answered brought carried changed chased covered crossed dropped followed found gave guarded heard helped hid held left liked lost loved made " +
    "met missed moved named opened painted passed pulled pushed reached remembered repaired saw sold thanked touched turned visited washed watched",
);

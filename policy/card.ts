/**
 * What a paper's file says about itself, for lists, help and documentation.
 * @module
 */

/** One published method. */
export interface Card {
  /** As text and lists name it. */
  readonly name: string;
  /** Of the paper. */
  readonly title: string;
  /** arXiv identifier. */
  readonly arxiv: string;
  /** Where it appeared, and the licence of the authors' code where there is one. */
  readonly venue: string;
  /** Where each default comes from. */
  readonly defaults: string;
  /** How this differs from the paper or the authors' code, and why. */
  readonly departures: ReadonlyArray<string>;
  /** A call in the short text form. */
  readonly example: string;
}

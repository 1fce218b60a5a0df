// Translation by the server: the newest input wins, and no other one waits.

export class Translator {
  #isBusy = false;
  #next = null;

  // `show` gets a PNG as a Blob and the milliseconds; `fail` a text.
  constructor(show, fail) {
    this.show = show;
    this.fail = fail;
  }

  // `makeInput` gives a promise of an image file; it is called when its turn comes.
  request(model, seed, makeInput) {
    this.#next = { model, seed, makeInput };
    if (!this.#isBusy) this.#run();
  }

  async #run() {
    this.#isBusy = true;
    while (this.#next) {
      const { model, seed, makeInput } = this.#next;
      this.#next = null;
      try {
        const started = performance.now();
        const body = await makeInput();
        const query = new URLSearchParams({ model, seed });
        const answer = await fetch(`/api/translate?${query}`, {
          method: "POST",
          headers: { "Content-Type": body.type },
          body,
        });
        if (answer.ok) this.show(await answer.blob(), performance.now() - started);
        else this.fail((await answer.json()).error);
      } catch (error) {
        this.fail("The server does not answer. Is it still running?");
      }
    }
    this.#isBusy = false;
  }
}

// Uploads a firmware package: its SHA-256 first, then the chunks that are missing, then the word that all came.
import {sha256} from "./vendor/noble/sha2.js";

const READ_AT_ONCE = 4 * 1024 * 1024; // bytes
const TRIES = 5;

class Refused extends Error {}

customElements.define("firmware-upload", class extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form");
    this.button = this.form.querySelector("button");
    this.button.disabled = false;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.upload();
    });
  }

  async upload() {
    const file = this.form.elements.file.files[0];
    this.button.disabled = true;
    this.problem("");
    try {
      const fields = new FormData(this.form);
      fields.delete("file");
      fields.set("file_name", file.name);
      fields.set("size", file.size);
      fields.set("sha256", await this.digest(file));
      const {missing, chunk_size: size, chunks, complete} = await this.send(this.form.action, new URLSearchParams(fields));
      const all = Math.ceil(file.size / size);
      let left = missing.length;
      for (const number of missing) {
        this.tell("uploading", (all - left) / all);
        await this.send(chunks + number, file.slice(number * size, (number + 1) * size));
        left -= 1;
      }
      this.tell("uploading", 1);
      location.assign((await this.send(complete, "")).page);
    } catch (error) {
      this.problem(error instanceof Refused ? error.message : this.getAttribute("failed"));
      this.button.disabled = false;
    }
  }

  async digest(file) {
    const hash = sha256.create();
    for (let at = 0; at < file.size; at += READ_AT_ONCE) {
      this.tell("checking", at / file.size);
      hash.update(new Uint8Array(await file.slice(at, at + READ_AT_ONCE).arrayBuffer()));
    }
    return [...hash.digest()].map((each) => each.toString(16).padStart(2, "0")).join("");
  }

  // A chunk that comes twice changes nothing, so what may not have arrived is sent again.
  async send(url, body) {
    const headers = {"X-Form-Token": this.form.elements.form_token.value, "HX-Request": "true"};
    for (let tried = 1; ; tried += 1) {
      const answer = await fetch(url, {method: "POST", headers, body}).catch(() => null);
      if (answer?.ok) return answer.status === 204 ? null : answer.json();
      if (answer?.headers.has("HX-Redirect")) location.assign(answer.headers.get("HX-Redirect"));
      if (answer && answer.status < 500) {
        const told = new DOMParser().parseFromString(await answer.text(), "text/html");
        throw new Refused(told.body.textContent.trim());
      }
      if (tried === TRIES) throw new Error("no answer");
      await new Promise((resolve) => setTimeout(resolve, 1000 * tried * (0.5 + Math.random())));
    }
  }

  tell(what, share) {
    this.querySelector(".upload-state").hidden = false;
    this.querySelector("progress").value = share;
    this.querySelector("[role=status]").textContent = this.getAttribute(what).replace("{percent}", Math.floor(share * 100));
  }

  problem(text) {
    const shown = this.querySelector("[role=alert]");
    shown.hidden = !text;
    shown.textContent = text;
  }
});

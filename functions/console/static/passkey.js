// Has the browser make or use a passkey: asks what for, and sends the form with what came of it.
class Refused extends Error {}

customElements.define("pass-key", class extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form");
    this.button = this.form.querySelector("button");
    if (!window.PublicKeyCredential?.parseCreationOptionsFromJSON) {
      this.problem(this.getAttribute("unable"));
      return;
    }
    this.button.disabled = false;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.use();
    });
  }

  async use() {
    this.button.disabled = true;
    this.problem("");
    try {
      this.form.elements.credential.value = JSON.stringify(await this.credential(await this.options()));
      this.form.submit();
    } catch (error) {
      this.problem(error instanceof Refused ? error.message : this.reason(error));
      this.button.disabled = false;
    }
  }

  async options() {
    const body = new URLSearchParams(new FormData(this.form));
    const answer = await fetch(this.getAttribute("ask"), {method: "POST", headers: {"HX-Request": "true"}, body});
    if (answer.headers.has("HX-Redirect")) location.assign(answer.headers.get("HX-Redirect"));
    if (answer.ok) return answer.json();
    const told = new DOMParser().parseFromString(await answer.text(), "text/html");
    throw new Refused(told.body.textContent.trim());
  }

  credential(options) {
    return this.hasAttribute("create")
      ? navigator.credentials.create({publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options)})
      : navigator.credentials.get({publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options)});
  }

  reason(error) {
    return this.getAttribute(error.name === "InvalidStateError" && this.hasAttribute("known") ? "known" : "failed");
  }

  problem(text) {
    const shown = this.querySelector("[role=alert]");
    shown.hidden = !text;
    shown.textContent = text;
  }
});

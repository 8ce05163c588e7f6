// Offers the calendar in the time zone of whoever looks at it.
const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
const field = document.querySelector("input[name=zone]");
const offer = document.querySelector("[data-own-zone]");

if (own && own !== field.value) {
  offer.textContent = `In ${own}`;
  offer.hidden = false;
  offer.addEventListener("click", () => {
    field.value = own;
    field.form.requestSubmit();
  });
}

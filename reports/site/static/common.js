// What the scripts of boards and comparisons share.
const build = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
};
const make = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);
// A long name, that may be broken after what its parts are joined by.
const breakable = (name) => (name.length > 16 ? name.split(/(?<=[_+])/).flatMap((part, i) => (i ? [make("wbr"), part] : [part])) : [name]);

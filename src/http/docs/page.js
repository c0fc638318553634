"use strict";
// Shows openapi.json. Everything from the document is put in as text, never as markup.
(async () => {
  const make = (name, attributes, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes ?? {})) node.setAttribute(key, value);
    node.append(...children.flat().filter((child) => child != null));
    return node;
  };

  // `code` is all the markup that the document's texts have.
  const prose = (text) =>
    text.split("`").map((part, i) => (i % 2 ? make("code", {}, part) : part.replaceAll("\n", " ")));
  const breakable = (path) => path.split(/(?=\/)/).flatMap((part) => [make("wbr"), part]);
  const paragraphs = (text, kind) =>
    (text ?? "").split("\n\n").filter(Boolean).map((part) => make("p", { class: kind }, prose(part)));

  let answer;
  try {
    answer = await (await fetch("openapi.json")).json();
  } catch {
    document.getElementById("status").textContent = "openapi.json could not be read.";
    return;
  }
  const api = answer;
  const resolve = (it) =>
    it?.$ref ? it.$ref.slice(2).split("/").reduce((at, key) => at[key], api) : it;

  const json = (value) => {
    const parts = JSON.stringify(value, null, 2).split(/("(?:[^"\\]|\\.)*":?|[\w.+-]+)/);
    return parts.map((part, i) => {
      if (i % 2 === 0) return part;
      const kind = part.endsWith(":") ? "key" : part.startsWith('"') ? "string" : "other";
      return make("span", { class: kind }, part);
    });
  };
  const body = (kind, value) =>
    make("pre", {}, kind.includes("json") ? json(value) : value.trimEnd());

  const table = (heads, rows) =>
    make("div", { class: "scroll" }, make("table", {},
      make("thead", {}, make("tr", {}, heads.map((head) => make("th", {}, head)))),
      make("tbody", {}, rows.map((row) => make("tr", {}, row.map((cell) => make("td", {}, cell)))))));

  const typeOf = (schema) => {
    const it = resolve(schema) ?? {};
    if (it.items) return `array of ${schema.items.$ref?.split("/").pop() ?? typeOf(it.items)}`;
    const limits = [
      it.minimum != null && `${it.minimum} to ${it.maximum ?? "…"}`,
      it.maxLength && `${it.minLength < it.maxLength ? `${it.minLength} to ` : ""}${it.maxLength} characters`,
      it.const && `always ${it.const}`,
      it.format === "date-time" && "RFC 3339",
    ].filter(Boolean);
    const name = [it.type ?? "any"].flat().join(" or ");
    return limits.length ? `${name}, ${limits.join(", ")}` : name;
  };

  const fields = (schema, prefix = "") => {
    const it = resolve(schema) ?? {};
    return Object.entries(it.properties ?? {}).flatMap(([name, field]) => {
      const needed = it.required?.includes(name) ? "" : " (optional)";
      const inner = resolve(field).items ?? field;
      const path = prefix + name + (resolve(field).items ? "[]" : "");
      const row = [make("code", {}, path), typeOf(field) + needed, prose(resolve(field).description ?? "")];
      return [row, ...fields(inner, `${path}.`)];
    });
  };
  const shape = (schema) => {
    const rows = fields(schema);
    return rows.length ? [table(["Field", "Type", ""], rows)] : [];
  };

  const content = (of) => Object.entries(of?.content ?? {}).flatMap(([kind, media]) => {
    const examples = Object.values(media.examples ?? {}).map((example) => resolve(example).value);
    return [make("p", {}, make("code", {}, kind))]
      .concat((media.example ? [media.example] : examples).map((value) => body(kind, value)));
  });

  const order = ({ method }) => "post get head delete".indexOf(method);
  const all = Object.entries(api.paths).flatMap(([path, item]) =>
    ["post", "get", "head", "delete"].filter((method) => item[method])
      .map((method) => ({ path, item, method, operation: item[method] })))
    .sort((one, other) => order(one) - order(other));

  // What most routes may answer, and what every answer carries, is shown once, at the end.
  const answers = all.flatMap(({ operation }) => Object.entries(operation.responses));
  const isCommon = ([, given]) =>
    answers.filter(([, other]) => given.$ref && other.$ref === given.$ref).length > all.length / 2;
  const isEverywhere = (name) => answers.every(([, given]) => name in resolve(given).headers);
  const headerRows = (names) => names.map((name) => [name, api.components.headers[name]])
    .map(([name, header]) =>
      [make("code", {}, name), prose(header.description), make("code", {}, header.example)]);

  const response = ([status, given]) => {
    const it = resolve(given);
    const headers = headerRows(Object.keys(it.headers).filter((name) => !isEverywhere(name)));
    const isError = status >= "400";
    const schema = Object.values(it.content ?? {})[0]?.schema;
    const head = make("summary", {},
      make("span", { class: `code s${status[0]}` }, status), make("span", {}, prose(it.description)));
    const inside = [
      ...(headers.length ? [table(["Header", "", "Example"], headers)] : []),
      ...content(it), ...(isError ? [] : shape(schema)),
    ];
    if (!inside.length) return make("details", { class: "plain" }, head);
    return make("details", isError ? {} : { open: "" }, head, make("div", {}, inside));
  };

  const needs = (operation) => (operation.security ?? []).flatMap(Object.keys).map((name) => {
    const scheme = api.components.securitySchemes[name];
    return scheme.in === "cookie" ? `Cookie ${scheme.name}` : "Admin token";
  });

  const copyable = (text) => {
    const shown = make("pre", {}, text);
    const button = make("button", { type: "button" }, "Copy");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        // Without the right to (plain http elsewhere than on localhost) it is selected at least.
        getSelection().selectAllChildren(shown);
      }
    });
    return make("div", { class: "copyable" }, shown, button);
  };

  const curl = (method, path, item, operation) => {
    const server = item.servers[0].url;
    const filled = path.replace(/\{(\w+)\}/g, (_, name) =>
      item.parameters?.find((one) => one.name === name)?.example ?? name);
    const base = server === "/" ? location.origin : server;
    const words = ["curl", method === "head" ? "-I" : "-i"];
    if (method === "post" || method === "delete") words.push("-X", method.toUpperCase());
    words.push(base + filled);
    const auth = Object.keys(operation.security?.[0] ?? {})[0];
    if (auth === "cookie") words.push(`-b "${api.components.securitySchemes.cookie.name}=$TOKEN"`);
    if (auth === "bearer") words.push('-H "authorization: Bearer $ADMIN_TOKEN"');
    const sent = operation.requestBody?.content?.["application/json"];
    if (sent) words.push('-H "content-type: application/json"', `-d '${JSON.stringify(sent.example)}'`);
    return copyable(words.join(" "));
  };

  const card = ({ path, item, method, operation }) => {
    const badges = [item.servers[0].description, ...needs(operation)];
    const parameters = (item.parameters ?? []).map((one) =>
      [make("code", {}, `{${one.name}}`), typeOf(one.schema), prose(one.description ?? "")]);
    const asked = operation.requestBody;
    const schema = asked && Object.values(asked.content)[0].schema;
    return make("article", { id: operation.operationId },
      make("header", {},
        make("h3", {}, make("span", { class: `method ${method}` }, method.toUpperCase()), path),
        make("p", { class: "what" }, prose(operation.summary ?? "")),
        paragraphs(operation.description, "more"),
        make("div", { class: "tags" }, badges.map((badge) => make("span", {}, badge)))),
      make("section", {}, make("h4", {}, "Try it"), curl(method, path, item, operation)),
      parameters.length
        ? make("section", {}, make("h4", {}, "In the path"), table(["Name", "Type", ""], parameters)) : null,
      asked ? make("section", {}, make("h4", {}, "Body"), content(asked), shape(schema)) : null,
      make("section", {}, make("h4", {}, "Answers"), Object.entries(operation.responses).filter((one) => !isCommon(one)).map(response)));
  };

  const nav = document.getElementById("nav");
  const main = document.getElementById("main");
  main.replaceChildren(
    make("h1", {}, api.info.title, make("small", {}, `${api.info.version} · OpenAPI ${api.openapi}`)),
    ...paragraphs(api.info.description),
    make("p", {}, make("a", { href: "openapi.json" }, "openapi.json")));

  for (const tag of api.tags) {
    const operations = all.filter(({ operation }) => operation.tags.includes(tag.name));
    if (!operations.length) continue;
    nav.append(make("h2", {}, tag.name), ...operations.map(({ path, method, operation }) =>
      make("a", { href: `#${operation.operationId}` },
        make("span", { class: `method ${method}` }, method.toUpperCase()), make("span", {}, breakable(path)))));
    main.append(make("h2", {}, tag.name), ...paragraphs(tag.description), ...operations.map(card));
  }

  const common = [...new Map(answers.filter(isCommon).map((one) => [one[1].$ref, one])).values()];
  const everywhere = Object.keys(api.components.headers).filter(isEverywhere);
  main.append(
    make("h2", {}, "Any route"), ...paragraphs("What every answer carries, and the errors that most routes may answer."),
    make("article", { id: "any" },
      make("section", {}, make("h4", {}, "Headers"), table(["Header", "", "Example"], headerRows(everywhere))),
      make("section", {}, make("h4", {}, "Errors"), common.map(response))));
  document.getElementById(location.hash.slice(1))?.scrollIntoView({ behavior: "instant" });
})();

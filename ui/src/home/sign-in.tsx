import { useEffect, useRef, useState } from "preact/hooks";
import { Field } from "../components/controls.tsx";
import { Gate, SecretField, useAttempt } from "../components/gate.tsx";
import { t as shared } from "../texts/en.ts";
import { t } from "../texts/home.en.ts";
import { home } from "./api.ts";
import { begin } from "./data.ts";

const USER = "home";

/** A name and a password. */
export function SignIn() {
  const [user, setUser] = useState(USER);
  const [password, setPassword] = useState("");
  const attempt = useAttempt(t.signIn);
  const input = useRef<HTMLInputElement>(null);

  useEffect(() => {
    document.title = t.title(null, t.signIn.title);
    input.current?.focus();
  }, []);

  const submit = (): void => {
    if (user.trim() === "" || password === "") {
      attempt.refuse(password === "" ? t.signIn.empty : t.signIn.emptyUser);
      input.current?.focus();
      return;
    }
    attempt.send(
      async () => {
        const session = await home.signIn(user.trim(), password);
        setPassword("");
        begin(session);
      },
      () => input.current?.focus(),
    );
  };

  return (
    <Gate
      product={t.name}
      title={t.signIn.title}
      place={t.signIn.at(location.host)}
      foot={t.signIn.foot}
      attempt={attempt}
      onSubmit={submit}
    >
      <Field id="user" label={t.signIn.user}>
        <input
          class="input lg"
          id="user"
          type="text"
          autocomplete="username"
          autocapitalize="off"
          spellcheck={false}
          value={user}
          onInput={(event) => setUser(event.currentTarget.value)}
          data-testid="signin-user"
        />
      </Field>
      <SecretField
        id="password"
        label={t.signIn.password}
        hint={t.signIn.hint}
        attempt={attempt}
        value={password}
        input={input}
        onInput={setPassword}
        names={{ show: shared.signIn.show, hide: shared.signIn.hide }}
      />
    </Gate>
  );
}

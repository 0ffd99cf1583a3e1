import { t } from "../texts/en.ts";
import { Find } from "./find.tsx";
import { Notice } from "./states.tsx";

/** An address that leads nowhere: says so and offers the find field. */
export function NotFound({ title, text }: { title?: string; text?: string }) {
  return (
    <section class="card unknown">
      <Notice
        kind="empty"
        icon="search-x"
        level={1}
        title={title ?? t.notFound.title}
        text={text ?? t.notFound.text}
        actions={
          <a class="btn" href="/fleet">
            {t.meter.toFleet}
          </a>
        }
      />
      <div class="unknown-find">
        <Find inDialog />
      </div>
    </section>
  );
}

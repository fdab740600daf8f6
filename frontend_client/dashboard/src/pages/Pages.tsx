import { type ReactElement, useCallback, useEffect } from 'react';
import { listQuestions } from '../data/tasks';
import { usePolled, useRoute } from '../ui/hooks';
import { useProject } from '../ui/project';
import { Shell } from '../ui/Shell';
import { InboxPage } from './InboxPage';
import { PipelinesPage } from './PipelinesPage';
import { PlayPage } from './PlayPage';
import { TaskPage } from './TaskPage';
import { TasksPage } from './TasksPage';
import { WorkersPage } from './WorkersPage';

const QUESTIONS_EVERY_MS = 20_000;

/** The page that the address names, in its frame. */
export function Pages({ onSignOut }: { onSignOut: () => void }): ReactElement {
  const { supabase, feed } = useProject();
  const route = useRoute();
  const questions = usePolled(
    useCallback(() => listQuestions(supabase), [supabase]),
    QUESTIONS_EVERY_MS,
  );
  const { reload } = questions;
  useEffect(
    () => feed.listen((event) => (event.type === 'question' || event.type === 'again') && reload()),
    [feed, reload],
  );
  return (
    <Shell route={route} questions={questions.data?.length ?? 0} onSignOut={onSignOut}>
      {route.page === 'tasks' && <TasksPage search={route.search} />}
      {route.page === 'task' && <TaskPage key={route.id} id={route.id} />}
      {route.page === 'workers' && <WorkersPage />}
      {route.page === 'inbox' && <InboxPage id={route.id} questions={questions} />}
      {route.page === 'pipelines' && <PipelinesPage slug={route.slug} version={route.version} />}
      {route.page === 'play' && <PlayPage kind={route.kind} from={route.from} />}
    </Shell>
  );
}

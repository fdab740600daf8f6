/** What is done to tasks from several pages, and what is said about it. */
import { messageOf } from '../data/failure';
import { cancelAny, retryTasks } from '../data/fleet';
import { cancelTasks } from '../data/tasks';
import { plural } from '../model/format';
import type { Project } from '../ui/project';

export async function retry({ supabase, say }: Project, ids: readonly string[]): Promise<void> {
  try {
    const changed = await retryTasks(supabase, ids);
    const back = changed.filter((one) => one.after === 'pending').length;
    const kept = changed.find((one) => one.error)?.error;
    say(
      kept
        ? `${plural(back, 'task')} pending again; the others stay: ${kept}.`
        : `${plural(back, 'task')} pending again.`,
    );
  } catch (error) {
    say(messageOf(error), 'bad');
  }
}

export async function cancel(project: Project, ids: readonly string[]): Promise<void> {
  const { supabase, isOperator, say } = project;
  try {
    await (isOperator ? cancelAny(supabase, ids) : cancelTasks(supabase, ids));
    say(ids.length === 1 ? 'The task is being stopped.' : `${plural(ids.length, 'task')} are being stopped.`);
  } catch (error) {
    say(messageOf(error), 'bad');
  }
}

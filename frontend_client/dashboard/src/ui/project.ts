import type { Session, SupabaseClient } from '@supabase/supabase-js';
import { createContext, use } from 'react';
import type { LiveFeed } from '../data/live';

/** What every page of a signed-in user has at hand. */
export interface Project {
  readonly supabase: SupabaseClient;
  readonly url: string;
  readonly key: string;
  readonly session: Session;
  readonly isOperator: boolean;
  readonly feed: LiveFeed;
  /** Say in a sentence that something was done, or was not. */
  readonly say: (sentence: string, tone?: 'plain' | 'bad') => void;
}

export const ProjectContext = createContext<Project | null>(null);

export function useProject(): Project {
  const project = use(ProjectContext);
  if (project === null) throw new Error('There is no project above this component.');
  return project;
}

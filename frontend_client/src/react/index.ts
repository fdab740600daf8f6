export { type UseAgentTaskOptions, type UseAgentTaskResult, useAgentTask } from './use-agent-task.js';
export { type UseAgentTasksResult, useAgentTasks } from './use-agent-tasks.js';
export { type UseHumanTasksResult, useHumanTasks } from './use-human-tasks.js';

import { useAgentTask } from '@agent-worker/client/react'

export function MyComponent() {
  const { submitTask, isSubmitting, isProcessing, currentTask, error } = useAgentTask({
    enterpriseId: 'your-enterprise-id',
    onComplete: (response) => {
      console.log('Task completed:', response.response_payload?.answer)
    },
    onError: (err) => {
      console.error('Task failed:', err)
    }
  })

  const handleSubmit = async () => {
    await submitTask({
      prompt: 'Your question here',
      context: { /* optional context */ }
    })
  }

  return (
    <div>
      <button onClick={handleSubmit} disabled={isSubmitting}>
        {isSubmitting ? 'Processing...' : 'Submit'}
      </button>
      {currentTask?.response_payload?.answer && (
        <div>{currentTask.response_payload.answer}</div>
      )}
    </div>
  )
}

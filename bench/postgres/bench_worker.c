/*
 * PostgreSQL as a contestant: a function that registers a dynamic background worker, and that worker. Both read the
 * clock that Node reads (CLOCK_MONOTONIC), and the worker signs as all others do.
 */
#include "postgres.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/wait_event.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(bench_register);
PGDLLEXPORT void bench_main(Datum argument);

static volatile sig_atomic_t told = 0;

static int64
monotonic(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (int64) at.tv_sec * 1000000000 + at.tv_nsec;
}

/* bgw_extra holds the path of the FIFO and the token, each ended by a zero byte */
static void
sign(const char *kind, int64 at)
{
	const char *path = MyBgworkerEntry->bgw_extra;
	const char *token = path + strlen(path) + 1;
	char		line[256];
	int			length = snprintf(line, sizeof(line), "%s %s %d " INT64_FORMAT "\n", kind, token, MyProcPid, at);
	int			fd = open(path, O_WRONLY | O_NONBLOCK);

	if (fd < 0 || write(fd, line, length) != length)
		elog(FATAL, "could not sign at \"%s\": %m", path);
	close(fd);
}

static void
on_signal(int signal)
{
	told = signal;
	SetLatch(MyLatch);
}

void
bench_main(Datum argument)
{
	sign("entered", monotonic());
	pqsignal(SIGTERM, on_signal);
	pqsignal(SIGUSR2, on_signal);
	BackgroundWorkerUnblockSignals();
	while (told == 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, 0, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	if (told == SIGTERM)
		proc_exit(0);
	sign("leaving", monotonic());
	proc_exit(1);
}

/*
 * bench_register(library, fifo, token, restart in seconds): when it was asked for, when it had started, and its pid.
 */
Datum
bench_register(PG_FUNCTION_ARGS)
{
	char	   *fifo = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char	   *token = text_to_cstring(PG_GETARG_TEXT_PP(2));
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;
	pid_t		pid;
	int64		asked;
	int64		started;

	if (strlen(fifo) + strlen(token) + 2 > BGW_EXTRALEN)
		elog(ERROR, "path and token are too long");
	strlcpy(worker.bgw_name, "bench", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "bench", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, text_to_cstring(PG_GETARG_TEXT_PP(0)), BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "bench_main", BGW_MAXLEN);
	strcpy(worker.bgw_extra, fifo);
	strcpy(worker.bgw_extra + strlen(fifo) + 1, token);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = PG_GETARG_INT32(3);
	worker.bgw_notify_pid = MyProcPid;

	asked = monotonic();
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		elog(ERROR, "no slot is free");
	if (WaitForBackgroundWorkerStartup(handle, &pid) != BGWH_STARTED)
		elog(ERROR, "the worker did not start");
	started = monotonic();
	PG_RETURN_TEXT_P(cstring_to_text(psprintf(INT64_FORMAT " " INT64_FORMAT " %d", asked, started, (int) pid)));
}

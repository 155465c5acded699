# Starting a program, and the end of it: clone as vfork does it, and process descriptors (pidfd), as Linux has them.
#
# posix_spawn cannot change the folder, the umask or the session on the systems that wheels are built on, and tells
# nobody which step failed; fork copies the page tables of the whole process.  What vfork does, here by clone, has neither
# fault: the child borrows our memory until it executes its program, while the calling thread waits, so it can even leave
# its error code here.
# What runs in the child calls nothing that locks, allocates or looks at Python.

cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <signal.h>
    #include <string.h>
    #include <sys/stat.h>
    #include <sys/types.h>
    #include <sys/wait.h>
    #include <unistd.h>
    #ifdef __linux__
    #include <sched.h>
    #include <sys/syscall.h>
    #ifndef CLONE_PIDFD
    #define CLONE_PIDFD 0x1000
    #endif
    #endif
    #ifndef P_PIDFD
    #define P_PIDFD 3
    #endif
    #ifndef SYS_pidfd_send_signal
    #define SYS_pidfd_send_signal 424  /* from these numbers on, all architectures have the same */
    #define SYS_pidfd_open 434
    #define SYS_close_range 436
    #endif

    enum { CLEARLOOP_STARTED, CLEARLOOP_FAILED, CLEARLOOP_NO_FOLDER, CLEARLOOP_NO_PROGRAM };

    struct clearloop_program {
        char **files;         /* where it may lie, in the order of PATH */
        char **arguments;
        char **environment;   /* NULL: ours */
        const char *folder;   /* NULL: ours */
        int ends[3];          /* what becomes descriptor 0, 1, 2; -1: ours */
        const int *kept;      /* further descriptors that it gets, in ascending order */
        int kept_count;
        int close_others;
        int restore_signals;
        int new_session;
        long group;           /* -1: ours */
        long mask;            /* the umask; -1: ours */
        /* what came of it */
        int stage;            /* CLEARLOOP_STARTED, or what failed, with `error` */
        int error;
    };

    #ifdef __linux__
    static int clearloop_inheritable(int fd) {
        int flags = fcntl(fd, F_GETFD);
        return flags < 0 || fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC) < 0 ? -1 : 0;
    }

    /* In the child.  Returns only when something failed; errno says what, `stage` where. */
    static void clearloop_become(struct clearloop_program *program, const sigset_t *mask) {
        struct sigaction action;
        int place, number, ends[3];
        unsigned int first = 3;

        program->stage = CLEARLOOP_FAILED;
        /* Handlers of ours must not run here: they would run on our memory. */
        for (number = 1; number < NSIG; number++) {
            if (sigaction(number, NULL, &action) < 0) continue;
            if (!(action.sa_flags & SA_SIGINFO) && (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)) continue;
            memset(&action, 0, sizeof(action));
            action.sa_handler = SIG_DFL;
            sigaction(number, &action, NULL);
        }
        if (program->restore_signals) {  /* what Python ignores for itself */
            memset(&action, 0, sizeof(action));
            action.sa_handler = SIG_DFL;
            sigaction(SIGPIPE, &action, NULL);
    #ifdef SIGXFSZ
            sigaction(SIGXFSZ, &action, NULL);
    #endif
        }
        if (sigprocmask(SIG_SETMASK, mask, NULL) < 0) return;

        for (place = 0; place < program->kept_count; place++) {
            if (clearloop_inheritable(program->kept[place]) < 0) return;
        }
        for (place = 0; place < 3; place++) {
            ends[place] = program->ends[place];
            /* out of the way of the descriptors that are put in its place before its own turn comes */
            if (ends[place] >= 0 && ends[place] < place) {
                ends[place] = fcntl(ends[place], F_DUPFD_CLOEXEC, 3);
                if (ends[place] < 0) return;
            }
        }
        for (place = 0; place < 3; place++) {
            if (ends[place] == place) {
                if (clearloop_inheritable(place) < 0) return;
            } else if (ends[place] >= 0 && dup2(ends[place], place) < 0) {
                return;
            }
        }
        if (program->folder != NULL && chdir(program->folder) < 0) {
            program->stage = CLEARLOOP_NO_FOLDER;
            return;
        }
        if (program->mask >= 0) umask((mode_t) program->mask);
        if (program->new_session && setsid() < 0) return;
        if (program->group >= 0 && setpgid(0, (pid_t) program->group) < 0) return;
        if (program->close_others) {
            for (place = 0; place < program->kept_count; place++) {
                unsigned int kept = (unsigned int) program->kept[place];
                if (kept > first) syscall(SYS_close_range, first, kept - 1, 0);
                if (kept >= first) first = kept + 1;
            }
            syscall(SYS_close_range, first, ~0U, 0);
        }
        program->stage = CLEARLOOP_NO_PROGRAM;
        number = 0;
        for (place = 0; program->files[place] != NULL; place++) {
            if (program->environment != NULL) {
                execve(program->files[place], program->arguments, program->environment);
            } else {
                execv(program->files[place], program->arguments);
            }
            if (errno != ENOENT && errno != ENOTDIR && number == 0) number = errno;
        }
        if (number != 0) errno = number;
    }

    #define CLEARLOOP_STACK 32768  /* bytes; the child calls the system, and little else */

    struct clearloop_birth {
        struct clearloop_program *program;
        const sigset_t *mask;
    };

    static int clearloop_child(void *argument) {
        struct clearloop_birth *birth = argument;
        clearloop_become(birth->program, birth->mask);
        birth->program->error = errno;
        _exit(255);
    }

    /* Starts the program: its pid, with a descriptor of it in `pidfd`; or -1 with `stage` and `error`.

       As vfork, but on a stack of the child's own, and the descriptor comes along: where there is none to be had, there
       is no child either. */
    static pid_t clearloop_start(struct clearloop_program *program, int *pidfd) {
        char stack[CLEARLOOP_STACK] __attribute__((aligned(64)));
        sigset_t all, before;
        struct clearloop_birth birth = {program, &before};
        pid_t pid;
        int status;

        *pidfd = -1;
        program->stage = CLEARLOOP_FAILED;
        program->error = 0;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &before);
        pid = clone(
            clearloop_child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &birth, pidfd
        );
        if (pid < 0) program->error = errno;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (pid < 0) return -1;
        if (program->error == 0) {
            /* A sandbox may know no CLONE_PIDFD and say nothing. */
            if (*pidfd < 0) *pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
            if (*pidfd >= 0) {
                program->stage = CLEARLOOP_STARTED;
                return pid;
            }
            program->stage = CLEARLOOP_FAILED;
            program->error = errno;
            kill(pid, SIGKILL);  /* not reaped yet: the number is its own */
        } else if (*pidfd >= 0) {
            close(*pidfd);
        }
        *pidfd = -1;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
        return -1;
    }

    /* 1 with the exit code (negative: of which signal it died), 0 while it runs, -1 when it is not there to be waited
       for. */
    static int clearloop_reap(int pidfd, int *code) {
        siginfo_t info;
        memset(&info, 0, sizeof(info));
        if (waitid((idtype_t) P_PIDFD, (id_t) pidfd, &info, WEXITED | WNOHANG) < 0) return -1;
        if (info.si_pid == 0) return 0;
        *code = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
        return 1;
    }

    static int clearloop_signal(int pidfd, int number) {
        return (int) syscall(SYS_pidfd_send_signal, pidfd, number, (void *) 0, 0);
    }

    /* Whether this kernel, or the sandbox before it, lets us do all that. */
    static int clearloop_can_spawn(void) {
        siginfo_t info;
        int works, pidfd = (int) syscall(SYS_pidfd_open, getpid(), 0);
        if (pidfd < 0) return 0;
        works = clearloop_signal(pidfd, 0) == 0 && syscall(SYS_close_range, ~0U, ~0U, 0) == 0;
        /* ECHILD: we are no child of ours, but it has understood; EINVAL: before Linux 5.4 */
        works = works && waitid((idtype_t) P_PIDFD, (id_t) pidfd, &info, WEXITED | WNOHANG) < 0 && errno == ECHILD;
        close(pidfd);
        return works;
    }
    #else
    static pid_t clearloop_start(struct clearloop_program *program, int *pidfd) {
        program->stage = CLEARLOOP_FAILED;
        program->error = ENOSYS;
        return -1;
    }
    static int clearloop_reap(int pidfd, int *code) { errno = ENOSYS; return -1; }
    static int clearloop_signal(int pidfd, int number) { errno = ENOSYS; return -1; }
    static int clearloop_can_spawn(void) { return 0; }
    #endif
    """
    struct Program "clearloop_program":
        char** files
        char** arguments
        char** environment
        const char* folder
        int ends[3]
        const int* kept
        int kept_count
        bint close_others
        bint restore_signals
        bint new_session
        long group
        long mask
        int stage
        int error

    int NO_FOLDER "CLEARLOOP_NO_FOLDER"
    int NO_PROGRAM "CLEARLOOP_NO_PROGRAM"

    int start_program "clearloop_start"(Program* program, int* pidfd)
    int reap "clearloop_reap"(int pidfd, int* code)
    int send_to "clearloop_signal"(int pidfd, int number)
    bint can_spawn "clearloop_can_spawn"()

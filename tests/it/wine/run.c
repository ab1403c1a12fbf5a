/* run.exe PROGRAM ARGUMENTS…: runs a program and says on both outputs with which code it ended, as Windows programs
 * learn it: to Linux it is lost when Wine takes more than a second to take the process down, and at times Wine never
 * does. It takes the program with it. */
#include <stdio.h>
#include <windows.h>

int main(void) {
    wchar_t *rest = GetCommandLineW();
    BOOL quoted = FALSE;
    for (; *rest && (quoted || *rest != L' '); rest++) {
        if (*rest == L'"') quoted = !quoted;
    }
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    HANDLE job = CreateJobObjectW(NULL, NULL);
    SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);

    STARTUPINFOW start;
    PROCESS_INFORMATION program;
    DWORD code;
    GetStartupInfoW(&start);
    while (*rest == L' ') rest++;
    if (!CreateProcessW(NULL, rest, NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, NULL, &start, &program)) return 1;
    AssignProcessToJobObject(job, program.hProcess);
    ResumeThread(program.hThread);
    WaitForSingleObject(program.hProcess, INFINITE);
    GetExitCodeProcess(program.hProcess, &code);
    printf("ended with %lu\n", code);
    fflush(stdout);
    fprintf(stderr, "ended with %lu\n", code);
    fflush(stderr);
    return 0;
}

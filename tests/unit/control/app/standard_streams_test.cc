#include "control/app/standard_streams.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

using namespace sluice;

namespace {

bool is_null_device(int descriptor) {
    struct stat found {};
    struct stat wanted {};
    return ::fstat(descriptor, &found) == 0 && ::stat("/dev/null", &wanted) == 0 && found.st_rdev == wanted.st_rdev &&
           S_ISCHR(found.st_mode);
}

/// In a process of its own, with the descriptors of `closed` (a bit each) closed and the others on a pipe: those of the
/// standard ones that are /dev/null after the call, and bit 3 when the call failed, 4 when another one was taken.
int null_devices_after(int closed) {
    const pid_t child = ::fork();
    if (child == 0) {
        int ends[2] = {};
        if (::pipe(ends) != 0) ::_exit(255);
        const int pipe = ::fcntl(ends[0], F_DUPFD, 10);
        for (int i = 0; i < 3; ++i) {
            ::dup2(pipe, i);
            if ((closed >> i & 1) != 0) ::close(i);
        }
        const int next = ::fcntl(pipe, F_DUPFD, 3);
        ::close(next);
        int result = app::open_standard_streams() ? 0 : 8;
        for (int i = 0; i < 3; ++i)
            if (is_null_device(i)) result |= 1 << i;
        if (::fcntl(pipe, F_DUPFD, 3) != next) result |= 16;
        ::_exit(result);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("standard descriptors that are closed become /dev/null, the others stay") {
    const int closed = GENERATE(range(0, 8));
    CHECK(null_devices_after(closed) == closed);
}

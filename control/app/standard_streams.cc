#include "control/app/standard_streams.hh"

#include <fcntl.h>
#include <unistd.h>

namespace sluice::app {

bool open_standard_streams() noexcept {
    for (int wanted = STDIN_FILENO; wanted <= STDERR_FILENO; ++wanted) {
        if (::fcntl(wanted, F_GETFD) != -1) continue;
        // The lowest free number is the one that is wanted: those below are open by now. Children inherit it, too.
        if (::open("/dev/null", O_RDWR) != wanted) return false;
    }
    return true;
}

}  // namespace sluice::app

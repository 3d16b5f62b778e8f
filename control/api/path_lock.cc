#include "control/api/path_lock.hh"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace sluice::api {
namespace {

bool has_its_name(int file, const std::string& name) {
    struct stat open {};
    struct stat named {};
    return ::fstat(file, &open) == 0 && ::lstat(name.c_str(), &named) == 0 && open.st_ino == named.st_ino &&
           open.st_dev == named.st_dev;
}

}  // namespace

std::optional<PathLock> PathLock::take(const std::string& path) {
    std::string name = path + ".lock";
    for (;;) {
        const int file = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (file < 0) throw std::system_error(errno, std::system_category(), name);
        if (::flock(file, LOCK_EX | LOCK_NB) != 0) {
            const int error = errno;
            ::close(file);
            if (error == EWOULDBLOCK) return std::nullopt;
            throw std::system_error(error, std::system_category(), name);
        }
        if (has_its_name(file, name)) return PathLock(std::move(name), file);
        ::close(file);
    }
}

PathLock::~PathLock() {
    if (file_ < 0) return;
    ::unlink(name_.c_str());  // still locked: what has this name is ours
    ::close(file_);
}

}  // namespace sluice::api

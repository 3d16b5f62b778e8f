// One process at a time for a path: flock(2) on a file beside it, PATH.lock. The kernel frees the lock when the process
// is gone, however it went, and a lock file that is left behind means nothing.
//
// The file goes with the lock. So what was locked may be a file that its last owner has just removed: a lock counts
// only when the file still has its name.
//
// Owner: whoever owns the path. Failure policy: std::system_error; that another process has it is no failure.
#pragma once

#include <optional>
#include <string>
#include <utility>

namespace sluice::api {

class PathLock {
public:
    /// Empty: another process has it. Waits for nobody.
    static std::optional<PathLock> take(const std::string& path);
    ~PathLock();
    PathLock(PathLock&& other) noexcept : name_(std::move(other.name_)), file_(std::exchange(other.file_, -1)) {}
    PathLock& operator=(PathLock&& other) noexcept {
        std::swap(name_, other.name_);
        std::swap(file_, other.file_);
        return *this;
    }

private:
    PathLock(std::string name, int file) : name_(std::move(name)), file_(file) {}

    std::string name_;
    int file_;
};

}  // namespace sluice::api

"""The closed family of commands (RFC 9051 §6, RFC 3501 §6), as values: what was asked, already checked for form.

Mailbox names and texts are ``str``; credentials never show in a repr. Message numbers and UIDs stay sets as sent:
only a MailboxView can say which messages they name.
"""

from mailserver.imap.commands.connection import (
    Authenticate,
    Capability,
    Enable,
    Id,
    Idle,
    Login,
    Logout,
    Namespace,
    Noop,
    StartTls,
    Unauthenticate,
)
from mailserver.imap.commands.listing import (
    List,
    ListReturn,
    ListSelection,
    Lsub,
    Status,
    StatusItem,
    Xlist,
)
from mailserver.imap.commands.mailboxes import (
    Check,
    Close,
    Create,
    Delete,
    Rename,
    Resync,
    Select,
    Subscribe,
    Unselect,
    Unsubscribe,
)
from mailserver.imap.commands.messages import (
    BinarySection,
    BinarySize,
    BodySection,
    Copy,
    Expunge,
    Fetch,
    FetchItem,
    Move,
    Partial,
    Section,
    SectionItem,
    SectionText,
    Store,
    StoreMode,
)
from mailserver.imap.commands.metadata import GetMetadata, SetMetadata
from mailserver.imap.commands.notify import Notify, NotifyEvent, NotifyFilter, NotifyGroup
from mailserver.imap.commands.quotas import GetQuota, GetQuotaRoot, SetQuota
from mailserver.imap.commands.rights import DeleteAcl, GetAcl, ListRights, MyRights, RightsChange, SetAcl
from mailserver.imap.commands.searching import (
    ResultOption,
    ResultRange,
    Returns,
    Search,
    Sort,
    SortCriterion,
    SortKey,
    Thread,
    ThreadAlgorithm,
)
from mailserver.imap.commands.uploads import (
    Append,
    MessageBegins,
    MessageEnds,
    OctetsFollow,
    Replace,
    Step,
    Upload,
    UrlPart,
)

__all__ = [
    "Append",
    "Authenticate",
    "BinarySection",
    "BinarySize",
    "BodySection",
    "Capability",
    "Check",
    "Close",
    "Command",
    "Copy",
    "Create",
    "Delete",
    "DeleteAcl",
    "Enable",
    "Expunge",
    "Fetch",
    "FetchItem",
    "GetAcl",
    "GetMetadata",
    "GetQuota",
    "GetQuotaRoot",
    "Id",
    "Idle",
    "List",
    "ListReturn",
    "ListRights",
    "ListSelection",
    "Login",
    "Logout",
    "Lsub",
    "MessageBegins",
    "MessageEnds",
    "Move",
    "MyRights",
    "Namespace",
    "Noop",
    "Notify",
    "NotifyEvent",
    "NotifyFilter",
    "NotifyGroup",
    "OctetsFollow",
    "Partial",
    "Rename",
    "Replace",
    "ResultOption",
    "ResultRange",
    "Resync",
    "Returns",
    "RightsChange",
    "Search",
    "Section",
    "SectionItem",
    "SectionText",
    "Select",
    "SetAcl",
    "SetMetadata",
    "SetQuota",
    "Sort",
    "SortCriterion",
    "SortKey",
    "StartTls",
    "Status",
    "StatusItem",
    "Step",
    "Store",
    "StoreMode",
    "Subscribe",
    "Thread",
    "ThreadAlgorithm",
    "Unauthenticate",
    "Unselect",
    "Unsubscribe",
    "Upload",
    "UrlPart",
    "Xlist",
]

Command = (
    Capability
    | Noop
    | Logout
    | StartTls
    | Authenticate
    | Login
    | Unauthenticate
    | Enable
    | Select
    | Create
    | Delete
    | Rename
    | Subscribe
    | Unsubscribe
    | List
    | Lsub
    | Xlist
    | Status
    | Append
    | Replace
    | GetQuota
    | GetQuotaRoot
    | SetQuota
    | GetMetadata
    | SetMetadata
    | Namespace
    | Id
    | Idle
    | Check
    | Close
    | Unselect
    | Expunge
    | Search
    | Sort
    | Thread
    | Fetch
    | Store
    | Copy
    | Move
    | Notify
    | SetAcl
    | DeleteAcl
    | GetAcl
    | ListRights
    | MyRights
)

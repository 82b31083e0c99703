"""The paper's tables and figures on the user's own pairs, in one page (extra ``[report]``)."""
